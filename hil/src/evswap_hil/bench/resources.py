"""What a bench is made of. Resources hold what their YAML says, and do nothing."""

import attr
from labgrid.factory import target_factory
from labgrid.resource.common import Resource

_text = attr.validators.instance_of(str)
_maybe_text = attr.validators.optional(_text)
_port = attr.validators.and_(attr.validators.instance_of(int), attr.validators.in_(range(65536)))


@target_factory.reg_resource
@attr.s(eq=False)
class EvswapStack(Resource):
    """The cloud that the station reports to: the file that `evswap up` writes. `--stack` names another."""

    stack_file: str = attr.ib(default=".evswap/stack.json", validator=_text)


@target_factory.reg_resource
@attr.s(eq=False)
class TcpLink(Resource):
    """A port of the bench's machine through which the station reaches its broker; 0 takes any free one."""

    port: int = attr.ib(default=0, validator=_port)


@target_factory.reg_resource
@attr.s(eq=False)
class ClimateSensor(Resource):
    """An emulated Modbus RTU climate sensor.

    It is on a pseudo-terminal of this machine, or on the serial adapter `port` (such as a USB-RS485 adapter
    that is wired to the station's).
    """

    registers: str = attr.ib(default="sht20", validator=_text)
    unit: int = attr.ib(default=1, validator=attr.validators.in_(range(1, 248)))
    temperature: float = attr.ib(default=21.0, converter=float)
    humidity: float = attr.ib(default=45.0, converter=float)
    port: str | None = attr.ib(default=None, validator=_maybe_text)


@target_factory.reg_resource
@attr.s(eq=False)
class StationProcess(Resource):
    """The station's program as a process of this machine, in the name of the stack's visitor.

    `registers` is the map by which it reads the sensor: a name that it knows, or a YAML file.
    """

    registers: str = attr.ib(default="sht20", validator=_text)
    interval_s: float = attr.ib(default=1.0, converter=float)
    bays: int = attr.ib(default=8, validator=attr.validators.instance_of(int))


@target_factory.reg_resource
@attr.s(eq=False)
class StationService(Resource):
    """The station's program as a systemd unit of a machine that can be given commands."""

    station_id: str = attr.ib(validator=_text)
    unit: str = attr.ib(default="evswap-edge.service", validator=_text)
    config: str = attr.ib(default="/etc/evswap/station.yaml", validator=_text)
    program: str = attr.ib(default="/opt/evswap/bin/evswap-edge", validator=_text)


@target_factory.reg_resource
@attr.s(eq=False)
class BrokerPort(Resource):
    """The TCP port by which a machine reaches its broker: what its own firewall closes to cut the link."""

    port: int = attr.ib(default=8883, validator=_port)

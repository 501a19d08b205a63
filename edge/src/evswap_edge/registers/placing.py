"""Where the n-th bay of a device lies that keeps several."""

from typing import Any, TypeVar

import msgspec

from evswap_edge.registers import BatteryMap, ChargerMap, DeviceMap
from evswap_edge.registers.layout import Place, Switch

BayMapT = TypeVar("BayMapT", bound=BatteryMap | ChargerMap)


def placed(layout: BayMapT, position: int) -> BayMapT:
    """The map of the bay at ``position``, counted from 0. Raises ``ValueError`` for what lies behind the last
    register."""
    if layout.several is None or position == 0:
        return layout
    apart = layout.several.apart
    fields = {name: getattr(layout, name) for name in layout.__struct_fields__}
    return msgspec.structs.replace(
        layout, **{name: _moved(value, position, apart) for name, value in fields.items()}
    )


def places(layout: DeviceMap) -> tuple[Place, ...]:
    """All that is read of a device."""
    found: list[Place] = []
    for name in layout.__struct_fields__:
        value = getattr(layout, name)
        found.extend(each for each in (value if isinstance(value, tuple) else (value,)) if _is_read(each))
    return tuple(found)


def _moved(value: Any, position: int, apart: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(each, position, apart) for each in value)
    return value.at(position, apart) if isinstance(value, Place) else value


def _is_read(value: Any) -> bool:
    return isinstance(value, Place) and not isinstance(value, Switch)

import ssl

import pytest

from evswap_hil.observers import mqtt

TOPIC = "ev/station/visitor/telemetry"
HOST = "127.0.0.1"
CONNECT, PUBLISH = 0x10, 0x30
NOT_AUTHORIZED = 0x87
NO_MATCHING_SUBSCRIBERS = 0x10


@pytest.fixture
def visit(broker, authority):
    """Connect as the visitor; keywords replace what differs."""

    def connect(**differently):
        arguments = {
            "ca": authority.certificate,
            "certificate": authority.issue("visitor"),
            "client_id": "visitor",
        }
        return mqtt.connect(HOST, broker.port, **(arguments | differently))

    return connect


def test_an_accepted_message_returns_the_brokers_reason_code(visit, broker):
    with visit() as visitor:
        assert visitor.publish(TOPIC, b"first") == 0
        broker.puback = NO_MATCHING_SUBSCRIBERS
        assert visitor.publish(TOPIC, b"second") == NO_MATCHING_SUBSCRIBERS
    assert broker.published == [b"first", b"second"]


def test_a_refused_message_says_so_and_the_connection_stands(visit, broker):
    broker.puback = NOT_AUTHORIZED
    with visit() as visitor:
        with pytest.raises(mqtt.Refused) as refusal:
            visitor.publish(TOPIC, b"{}")
        assert (refusal.value.operation, refusal.value.reason_code) == ("PUBLISH", NOT_AUTHORIZED)
        broker.puback = 0
        assert visitor.publish(TOPIC, b"{}") == 0


def test_a_refused_connection_carries_the_reason_code(visit, broker):
    broker.connack = NOT_AUTHORIZED
    with pytest.raises(mqtt.Refused) as refusal, visit():
        pass
    assert (refusal.value.operation, refusal.value.reason_code) == ("CONNECT", NOT_AUTHORIZED)


def test_a_broker_that_disconnects_in_answer_to_a_message(visit, broker):
    broker.disconnects_with = NOT_AUTHORIZED
    with visit() as visitor, pytest.raises(mqtt.Disconnected) as end:
        visitor.publish(TOPIC, b"{}")
    assert end.value.reason_code == NOT_AUTHORIZED


def test_a_broker_that_drops_the_line_gives_no_reason(visit, broker):
    broker.hangs_up_on = PUBLISH
    with visit() as visitor:
        with pytest.raises(mqtt.Disconnected) as end:
            visitor.publish(TOPIC, b"{}")
        assert end.value.reason_code is None
        with pytest.raises(mqtt.Disconnected):
            visitor.publish(TOPIC, b"and afterwards")


def test_a_broker_that_hangs_up_during_the_welcome(visit, broker):
    broker.hangs_up_on = CONNECT
    with pytest.raises(mqtt.NotConnected), visit():
        pass


def test_silence_is_not_taken_for_an_answer(visit, broker):
    broker.puback = None
    with visit() as visitor, pytest.raises(mqtt.Unanswered):
        visitor.publish(TOPIC, b"{}", timeout=0.05)
    broker.connack = None
    with pytest.raises(mqtt.Unanswered), visit(timeout=0.2):
        pass


def test_without_a_certificate_the_broker_ends_the_handshake(visit):
    with pytest.raises(mqtt.NotConnected), visit(certificate=None):
        pass


def test_a_broker_of_another_authority_is_not_trusted(visit, tmp_path, authority):
    stranger = type(authority)(tmp_path, name="stranger")
    with pytest.raises(mqtt.Untrusted), visit(ca=stranger.certificate):
        pass


def test_nobody_listening_is_told_from_a_refusal(authority, closed_port):
    with (
        pytest.raises(mqtt.Unreachable) as failure,
        mqtt.connect(HOST, closed_port, ca=authority.certificate, certificate=None, client_id="visitor"),
    ):
        pass
    assert not isinstance(failure.value, mqtt.REFUSALS)
    assert str(closed_port) in str(failure.value)


def test_a_missing_certificate_names_its_file(visit, tmp_path):
    nowhere = mqtt.ClientCertificate(tmp_path / "no.cert.pem", tmp_path / "no.key.pem")
    with pytest.raises(mqtt.UnusableCertificate, match=r"no\.cert\.pem"), visit(certificate=nowhere):
        pass


def test_a_file_that_is_no_certificate_is_not_taken_for_a_refusal(visit, authority):
    nonsense = authority.issue("nonsense")
    nonsense.certificate.write_text("not PEM")
    with pytest.raises(mqtt.UnusableCertificate) as failure, visit(certificate=nonsense):
        pass
    assert isinstance(failure.value.__cause__, ssl.SSLError)

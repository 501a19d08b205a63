"""What the local AWS has acknowledged survives its stop and, for the most part, its death."""

from evswap_local.clients import Clients
from tests.local.real import Emulator


def test_messages_waiting_and_in_flight_survive_a_stop(own_emulator: Emulator) -> None:
    clients = own_emulator.clients()
    url = clients.sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    for number in range(3):
        clients.sqs.send_message(QueueUrl=url, MessageBody=str(number))
    clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    clients.s3.create_bucket(Bucket="kept")
    clients.s3.put_object(Bucket="kept", Key="object", Body=b"body")

    own_emulator.stop()
    own_emulator.start()

    clients = own_emulator.clients()
    assert received(clients, url, 3) == {"0", "1", "2"}
    assert clients.s3.get_object(Bucket="kept", Key="object")["Body"].read() == b"body"


def test_a_stop_leaves_no_worker_and_no_temporary_file(own_emulator: Emulator) -> None:
    family = [own_emulator.process(), *own_emulator.process().children(recursive=True)]
    own_emulator.stop()
    assert [process for process in family if process.is_running()] == []
    assert list(own_emulator.state.temporary.iterdir()) == []
    assert list(own_emulator.state.run.iterdir()) == []


def received(clients: Clients, url: str, count: int) -> set[str]:
    bodies: set[str] = set()
    for _ in range(20):
        answer = clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies |= {message["Body"] for message in answer.get("Messages", [])}
        if len(bodies) == count:
            break
    return bodies

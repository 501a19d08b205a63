SELECT encode(*, 'base64') AS payload, topic() AS topic, topic(5) AS station_id, clientid() AS client_id, principal() AS principal, timestamp() AS received_at FROM '$aws/events/presence/+/+'

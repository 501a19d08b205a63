SELECT station_id, "timestamp", stream_id, sequence, clock, kind, step, request_id, authority, authorisation_id, reason, alarm,
  state, severity, bay, "count", detail, batteries, bays, received_at, flags, year, month, day
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY year, month, day, station_id, stream_id, sequence
    ORDER BY IF(clock = 'estimated', 1, 0), IF(bays IS NULL, 1, 0), received_at NULLS LAST, "timestamp"
  ) AS copy
  FROM (
    SELECT station_id, "timestamp", stream_id, sequence, clock, kind, step, request_id, authority, authorisation_id, reason,
      alarm, state, severity, bay, "count", detail, batteries, bays, received_at, flags, year, month, day
    FROM events_compacted
    UNION ALL
    SELECT station_id, "timestamp", stream_id, sequence, clock, kind, step, request_id, authority, authorisation_id, reason,
      alarm, state, severity, bay, "count", detail, batteries, bays, received_at, flags,
      CAST(year("timestamp") AS integer) AS year, CAST(month("timestamp") AS integer) AS month,
      CAST(day("timestamp") AS integer) AS day
    FROM (
      SELECT station_id, CAST(from_iso8601_timestamp("timestamp") AT TIME ZONE 'UTC' AS timestamp) AS "timestamp", stream_id,
        sequence, clock, kind, step, request_id, authority, authorisation_id, reason, alarm, state, severity, bay, "count",
        detail,
        transform(
          coalesce(batteries, IF(battery IS NULL, NULL, ARRAY[battery])),
          each -> CAST(ROW(
            each.bay, each.serial_number, each.soc, each.soh,
            CAST(from_iso8601_timestamp(each.production_date) AT TIME ZONE 'UTC' AS timestamp), each.vendor_info
          ) AS ROW(bay integer, serial_number varchar, soc double, soh double, production_date timestamp, vendor_info varchar))
        ) AS batteries,
        bays, CAST(from_iso8601_timestamp(received_at) AT TIME ZONE 'UTC' AS timestamp) AS received_at, flags
      FROM events_archived
    )
  )
) WHERE copy = 1

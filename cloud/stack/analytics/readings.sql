SELECT station_id, "timestamp", battery_available, battery_charging, temperature, humidity, status, stream_id, sequence, clock,
  quality, bays, part, location, firmware, received_at, flags, original, year, month, day
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY year, month, day, station_id, stream_id, sequence, part.index, IF(sequence IS NULL, "timestamp", NULL)
    ORDER BY IF(clock = 'estimated', 1, 0), IF(bays IS NULL, 1, 0), received_at NULLS LAST, "timestamp"
  ) AS copy
  FROM (
    SELECT station_id, "timestamp", battery_available, battery_charging, temperature, humidity, status, stream_id, sequence,
      clock, quality, bays, part, location, firmware, received_at, flags, original, year, month, day
    FROM readings_compacted
    UNION ALL
    SELECT station_id, "timestamp", battery_available, battery_charging, temperature, humidity, status, stream_id, sequence,
      clock, quality, bays, part, location, firmware, received_at, flags, CAST(NULL AS varchar) AS original,
      CAST(year("timestamp") AS integer) AS year, CAST(month("timestamp") AS integer) AS month,
      CAST(day("timestamp") AS integer) AS day
    FROM (
      SELECT station_id, CAST(from_iso8601_timestamp("timestamp") AT TIME ZONE 'UTC' AS timestamp) AS "timestamp",
        battery_available, battery_charging, temperature, humidity, status, stream_id, sequence, clock, quality, bays, part,
        location, firmware, CAST(from_iso8601_timestamp(received_at) AT TIME ZONE 'UTC' AS timestamp) AS received_at, flags
      FROM (SELECT * FROM readings_batched UNION ALL SELECT * FROM readings_single)
    )
  )
) WHERE copy = 1

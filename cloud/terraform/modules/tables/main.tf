resource "aws_dynamodb_table" "this" {
  #checkov:skip=CKV2_AWS_16:on demand, or scaled by the targets below
  #checkov:skip=CKV_AWS_119:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request
  #checkov:skip=CKV_AWS_28:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = var.tables

  name                        = each.value.name
  billing_mode                = contains(keys(var.provisioned), each.key) ? "PROVISIONED" : each.value.billing_mode
  read_capacity               = try(var.provisioned[each.key].read_units, null)
  write_capacity              = try(var.provisioned[each.key].write_units, null)
  hash_key                    = each.value.partition_key.name
  range_key                   = try(each.value.sort_key.name, null)
  deletion_protection_enabled = each.value.deletion_protection && var.protect_data
  stream_enabled              = each.value.stream != null
  stream_view_type            = each.value.stream

  dynamic "attribute" {
    for_each = { for key in concat(
      [each.value.partition_key, each.value.sort_key],
      values(each.value.local_indexes),
      flatten([for index in values(each.value.global_indexes) : [index.partition_key, index.sort_key]]),
    ) : key.name => key... if key != null }

    content {
      name = attribute.key
      type = attribute.value[0].type
    }
  }

  dynamic "local_secondary_index" {
    for_each = each.value.local_indexes

    content {
      name            = local_secondary_index.key
      range_key       = local_secondary_index.value.name
      projection_type = "ALL"
    }
  }

  dynamic "global_secondary_index" {
    for_each = each.value.global_indexes

    # The keys of an index are static: what it needs does not follow the table's load, and is not scaled.
    content {
      read_capacity   = try(var.provisioned[each.key].index_units, null)
      write_capacity  = try(var.provisioned[each.key].index_units, null)
      name            = global_secondary_index.key
      hash_key        = global_secondary_index.value.partition_key.name
      range_key       = global_secondary_index.value.sort_key.name
      projection_type = global_secondary_index.value.keys_only ? "KEYS_ONLY" : "ALL"
    }
  }

  dynamic "ttl" {
    for_each = each.value.expiry_attribute == null ? [] : [each.value.expiry_attribute]

    content {
      attribute_name = ttl.value
      enabled        = true
    }
  }

  point_in_time_recovery {
    enabled = each.value.point_in_time_recovery
  }

  # Off is encryption with a key that DynamoDB owns; on is the key that AWS manages in this account.
  server_side_encryption {
    enabled = each.value.encryption == "aws-managed-key"
  }

  lifecycle {
    # What scaling has set meanwhile is not taken back.
    ignore_changes = [read_capacity, write_capacity]
  }
}

locals {
  units = merge([for key, capacity in var.provisioned : {
    "${key} read"  = { key = key, kind = "Read", least = capacity.read_units, most = capacity.most_read_units }
    "${key} write" = { key = key, kind = "Write", least = capacity.write_units, most = capacity.most_write_units }
  }]...)
  # The alarms of a target are billed whether it ever scales or not.
  scaled = { for name, units in local.units : name => units if units.most != null }
}

resource "aws_appautoscaling_target" "this" {
  for_each = local.scaled

  service_namespace  = "dynamodb"
  resource_id        = "table/${aws_dynamodb_table.this[each.value.key].name}"
  scalable_dimension = "dynamodb:table:${each.value.kind}CapacityUnits"
  min_capacity       = each.value.least
  max_capacity       = each.value.most
}

# A fleet's load follows the day, and backlogs are rate-limited by the stations: what is beyond this share has minutes to come.
resource "aws_appautoscaling_policy" "this" {
  for_each = local.scaled

  name               = "${each.value.key}-${lower(each.value.kind)}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = var.utilisation

    predefined_metric_specification {
      predefined_metric_type = "DynamoDB${each.value.kind}CapacityUtilization"
    }
  }
}

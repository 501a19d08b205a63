resource "aws_dynamodb_table" "this" {
  for_each = var.tables

  name                        = each.value.name
  billing_mode                = each.value.billing_mode
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

    content {
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
}

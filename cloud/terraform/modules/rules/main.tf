# The names are a contract with the stations that publish by Basic Ingest: no prefix.
resource "aws_iot_topic_rule" "this" {
  for_each = var.rules

  name        = each.key
  description = each.value.description
  enabled     = true
  sql         = each.value.sql
  sql_version = each.value.sql_version

  sqs {
    queue_url  = var.queue_urls[each.value.queue]
    role_arn   = var.role_arns[each.value.role]
    use_base64 = false
  }

  error_action {
    sqs {
      queue_url  = var.queue_urls[each.value.error_queue]
      role_arn   = var.role_arns[each.value.role]
      use_base64 = false
    }
  }
}

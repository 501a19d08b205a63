# The names are a contract with the stations that publish by Basic Ingest: no prefix.
locals {
  direct = { for name, rule in var.rules : name => rule if rule.function != null }
}

resource "aws_iot_topic_rule" "this" {
  for_each = var.rules

  name        = each.key
  description = each.value.description
  enabled     = true
  sql         = each.value.sql
  sql_version = each.value.sql_version

  dynamic "sqs" {
    for_each = each.value.queue == null ? [] : [each.value.queue]

    content {
      queue_url  = var.queue_urls[sqs.value]
      role_arn   = var.role_arns[each.value.role]
      use_base64 = false
    }
  }

  dynamic "lambda" {
    for_each = each.value.function == null ? [] : [each.value.function]

    content {
      function_arn = var.functions[lambda.value].arn
    }
  }

  error_action {
    sqs {
      queue_url  = var.queue_urls[each.value.error_queue]
      role_arn   = var.role_arns[each.value.role]
      use_base64 = false
    }
  }
}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

# Not by the rule's own ARN: the rule has to find the permission when it is made.
resource "aws_lambda_permission" "rule" {
  for_each = local.direct

  statement_id  = "rule"
  action        = "lambda:InvokeFunction"
  function_name = var.functions[each.value.function].name
  qualifier     = var.functions[each.value.function].alias
  principal     = "iot.amazonaws.com"
  source_arn    = "arn:aws:iot:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:rule/${each.key}"
}

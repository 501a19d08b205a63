# Two resources, as a queue's dead-letter queue has to be there before it.
locals {
  ends  = { for key, queue in var.queues : key => queue if queue.dead_letter_queue == null }
  reads = { for key, queue in var.queues : key => queue if queue.dead_letter_queue != null }

  made = merge(aws_sqs_queue.end, aws_sqs_queue.read)
}

resource "aws_sqs_queue" "end" {
  #checkov:skip=CKV_AWS_27:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = local.ends

  name                       = each.value.name
  visibility_timeout_seconds = each.value.visibility_timeout_s
  message_retention_seconds  = each.value.message_retention_s
  receive_wait_time_seconds  = each.value.receive_wait_s
  max_message_size           = each.value.maximum_message_bytes
  sqs_managed_sse_enabled    = each.value.encryption == "SSE-SQS"
}

resource "aws_sqs_queue" "read" {
  #checkov:skip=CKV_AWS_27:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = local.reads

  name                       = each.value.name
  visibility_timeout_seconds = each.value.visibility_timeout_s
  message_retention_seconds  = each.value.message_retention_s
  receive_wait_time_seconds  = each.value.receive_wait_s
  max_message_size           = each.value.maximum_message_bytes
  sqs_managed_sse_enabled    = each.value.encryption == "SSE-SQS"

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.end[each.value.dead_letter_queue].arn
    maxReceiveCount     = each.value.max_receive_count
  })
}

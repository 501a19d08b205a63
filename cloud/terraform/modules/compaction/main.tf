# The compactor: a function with a zip of its own, called by the clock.
module "role" {
  source = "../role"

  role = var.compaction.role
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request

  name              = "/aws/lambda/${var.compaction.function.name}"
  retention_in_days = var.compaction.function.log_retention_days
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:its schedule calls it again, and what a run left half done the next one finishes
  #checkov:skip=CKV_AWS_117:it calls AWS alone, by TLS: a VPC would add endpoints by the hour and keep nobody out
  #checkov:skip=CKV_AWS_173:names of buckets: nothing secret
  #checkov:skip=CKV_AWS_272:the zip is built from the checkout, and compared by its hash
  #checkov:skip=CKV_AWS_50:X-Ray is for the API alone, as its price is by the trace

  function_name                  = var.compaction.function.name
  description                    = var.compaction.function.description
  role                           = module.role.arn
  handler                        = var.compaction.function.handler
  runtime                        = var.code.runtime
  architectures                  = [var.code.architecture]
  memory_size                    = var.compaction.function.memory_mb
  timeout                        = var.compaction.function.timeout_s
  reserved_concurrent_executions = var.compaction.function.reserved_concurrency
  filename                       = var.package
  source_code_hash               = try(filebase64sha256(var.package), null)

  environment {
    variables = var.compaction.function.environment
  }

  ephemeral_storage {
    size = var.compaction.function.disk_mb
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.this.name
    application_log_level = var.compaction.function.log_level
    system_log_level      = "WARN"
  }

  lifecycle {
    precondition {
      condition     = fileexists(var.package)
      error_message = "${var.package} is not there: `evswap-cloud package --compactor` builds it."
    }
  }
}

# The next call of the schedule goes on where one has failed.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_event_age_in_seconds = 3600
  maximum_retry_attempts       = 0
}

resource "aws_cloudwatch_event_rule" "this" {
  name                = var.compaction.schedule.name
  description         = var.compaction.schedule.description
  schedule_expression = var.compaction.schedule.expression
}

resource "aws_cloudwatch_event_target" "this" {
  rule      = aws_cloudwatch_event_rule.this.name
  target_id = "function"
  arn       = aws_lambda_function.this.arn
}

resource "aws_lambda_permission" "this" {
  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this.arn
}

# One failed call is followed by another; a night in which none did its work, or none took place, is somebody's to look into.
resource "aws_cloudwatch_metric_alarm" "failed" {
  alarm_name          = "${var.compaction.function.name}-failed"
  alarm_description   = "The compactor failed more than once in a night. Look into its log; nothing is lost, the raw archive grows."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  statistic           = "Sum"
  period              = 21600
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "idle" {
  alarm_name          = "${var.compaction.function.name}-idle"
  alarm_description   = "The compactor was not called for a day. Look at its rule in EventBridge."
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  statistic           = "Sum"
  period              = 86400
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

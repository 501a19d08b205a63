# One Lambda function, its log group, and the queue that feeds it, or what becomes of calls that nobody waits for.
locals {
  traced = var.function.traced && var.tracing
  feeds  = var.function.event_source == null ? {} : { (var.function.event_source.queue) = var.function.event_source }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request
  #checkov:skip=CKV_AWS_338:seven days, as cost says: what has to be kept is in the archive

  name              = "/aws/lambda/${var.function.name}"
  retention_in_days = var.function.log_retention_days
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:calls that nobody waits for have an on-failure queue, those from a queue its dead-letter queue
  #checkov:skip=CKV_AWS_117:it calls AWS alone, by TLS: a VPC would add endpoints by the hour and keep nobody out
  #checkov:skip=CKV_AWS_173:names of tables and a bucket: nothing secret
  #checkov:skip=CKV_AWS_272:the zip is built from the checkout, and compared by its hash

  function_name                  = var.function.name
  description                    = var.function.description
  role                           = var.role.arn
  handler                        = var.function.handler
  runtime                        = var.code.runtime
  architectures                  = [var.code.architecture]
  memory_size                    = var.function.memory_mb
  timeout                        = var.function.timeout_s
  reserved_concurrent_executions = var.function.reserved_concurrency
  filename                       = var.package
  source_code_hash               = try(filebase64sha256(var.package), null)
  publish                        = true

  dynamic "environment" {
    for_each = length(var.function.environment) > 0 ? [var.function.environment] : []

    content {
      variables = environment.value
    }
  }

  # WARN for what Lambda itself says: its START, END and REPORT lines would be most of the bill.
  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.this.name
    application_log_level = var.function.log_level
    system_log_level      = "WARN"
  }

  tracing_config {
    mode = local.traced ? "Active" : "PassThrough"
  }

  lifecycle {
    precondition {
      condition     = fileexists(var.package)
      error_message = "${var.package} is not there: `make zips` builds it, or name its folder by -var packages=FOLDER."
    }
  }

  depends_on = [aws_iam_role_policy.tracing]
}

# What everybody calls. `evswap-cloud rollback` moves it back; the next apply moves it to the newest version again.
resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "The version that works."
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

resource "aws_iam_role_policy" "tracing" {
  count = local.traced ? 1 : 0

  name   = "tracing"
  role   = var.role.name
  policy = var.tracing_policy
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each = local.feeds

  function_name                      = aws_lambda_alias.live.arn
  event_source_arn                   = var.queue_arns[each.key]
  batch_size                         = each.value.batch_size
  maximum_batching_window_in_seconds = each.value.window_s
  function_response_types            = each.value.report_batch_item_failures ? ["ReportBatchItemFailures"] : []

  scaling_config {
    maximum_concurrency = each.value.maximum_concurrency
  }
}

resource "aws_lambda_function_event_invoke_config" "this" {
  count = var.function.asynchronous == null ? 0 : 1

  function_name                = aws_lambda_function.this.function_name
  qualifier                    = aws_lambda_alias.live.name
  maximum_event_age_in_seconds = var.function.asynchronous.maximum_event_age_s
  maximum_retry_attempts       = var.function.asynchronous.maximum_retries

  destination_config {
    on_failure {
      destination = var.queue_arns[var.function.asynchronous.on_failure_queue]
    }
  }
}

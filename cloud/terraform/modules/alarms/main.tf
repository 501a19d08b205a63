locals {
  each = merge([for key, alarm in var.alarms : {
    for subject, dimensions in var.subjects[alarm.watches] : "${key}-${subject}" => merge(alarm, { dimensions = dimensions })
    if alarm.only == null ? true : contains(alarm.only, subject)
  }]...)

  simple   = { for key, alarm in local.each : key => merge(alarm, { metric = values(alarm.metrics)[0] }) if alarm.expression == null }
  computed = { for key, alarm in local.each : key => alarm if alarm.expression != null }

  # Percentiles are another argument than Sum, Average and the like.
  percentile = "^p[0-9]"
}

# Not encrypted: CloudWatch cannot publish to a topic under the key that AWS manages, and nothing in it is secret.
resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:CloudWatch cannot publish under the key that AWS manages, and nothing in it is secret

  name = "${var.prefix}-alarms"
}

data "aws_iam_policy_document" "publishers" {
  statement {
    sid       = "AlarmsAndBudgetOfThisAccount"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.publishers.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

# A pager, a chat, a function: whatever SNS can reach.
resource "aws_sns_topic_subscription" "endpoint" {
  for_each = { for endpoint in var.endpoints : "${endpoint.protocol} ${endpoint.endpoint}" => endpoint }

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = each.value.protocol
  endpoint  = each.value.endpoint
}

resource "aws_cloudwatch_metric_alarm" "simple" {
  for_each = local.simple

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.metric.namespace
  metric_name         = each.value.metric.name
  dimensions          = merge(each.value.dimensions, each.value.metric.dimensions)
  statistic           = can(regex(local.percentile, each.value.metric.statistic)) ? null : each.value.metric.statistic
  extended_statistic  = can(regex(local.percentile, each.value.metric.statistic)) ? each.value.metric.statistic : null
  period              = each.value.period_s
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing_data
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "computed" {
  for_each = local.computed

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = each.value.description
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing_data
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "watched"
    expression  = each.value.expression
    label       = each.value.description
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = merge(each.value.dimensions, metric_query.value.dimensions)
        stat        = metric_query.value.statistic
        period      = each.value.period_s
      }
    }
  }
}

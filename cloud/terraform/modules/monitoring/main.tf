# What an operator looks at: a dashboard, and the questions that are asked of logs again and again. The dashboard shows metrics that
# are there anyhow: none is made for it.
locals {
  functions = sort([for function in values(var.functions) : function.name])
  sources   = sort([for queue in values(var.queues) : queue.name if can(queue.dead_letter_queue)])
  ends      = sort([for queue in values(var.queues) : queue.name if !can(queue.dead_letter_queue)])
  tables    = sort([for table in values(var.tables) : table.name])
  rules     = sort(keys(var.rules))
  stage     = ["ApiName", var.api_name, "Stage", var.stage]

  per_function = { for metric in ["Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions", "AsyncEventsDropped"] :
  metric => [for name in local.functions : ["AWS/Lambda", metric, "FunctionName", name]] }
  per_table = { for metric in ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"] :
  metric => [for name in local.tables : ["AWS/DynamoDB", metric, "TableName", name]] }

  graphs = [
    { title = "Calls", stat = "Sum", metrics = local.per_function["Invocations"] },
    { title = "Errors, throttled and dropped calls", stat = "Sum", metrics = concat(local.per_function["Errors"],
    local.per_function["Throttles"], local.per_function["AsyncEventsDropped"]) },
    { title = "Duration, ms, the slowest in a hundred", stat = "p99", metrics = local.per_function["Duration"] },
    { title = "Calls at once", stat = "Maximum", metrics = local.per_function["ConcurrentExecutions"] },
    { title = "Age of the oldest message, s", stat = "Maximum", metrics = [for name in local.sources :
    ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]] },
    { title = "Waiting messages", stat = "Maximum", metrics = [for name in local.sources :
    ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]] },
    { title = "Left over: dead letters, failed calls, errors of rules", stat = "Maximum", metrics = [for name in local.ends :
    ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]] },
    { title = "Messages that rules took", stat = "Sum", metrics = [for name in local.rules :
    ["AWS/IoT", "TopicMatch", "RuleName", name]] },
    { title = "Messages that rules lost", stat = "Sum", metrics = [
      for pair in setproduct(["RuleNotFound", "ParseError", "RuleMessageThrottled"], local.rules) :
    ["AWS/IoT", pair[0], "RuleName", pair[1]]] },
    { title = "Units written", stat = "Sum", metrics = local.per_table["ConsumedWriteCapacityUnits"] },
    { title = "Units read", stat = "Sum", metrics = local.per_table["ConsumedReadCapacityUnits"] },
    { title = "Refused by DynamoDB", stat = "Sum", metrics = concat(local.per_table["ReadThrottleEvents"],
    local.per_table["WriteThrottleEvents"]) },
    { title = "Stations", stat = "Average", metrics = [for metric in values(var.metrics) : [metric.namespace, metric.name]] },
    { title = "API: requests and failures", stat = "Sum", metrics = [for metric in ["Count", "4XXError", "5XXError"] :
    concat(["AWS/ApiGateway", metric], local.stage)] },
    { title = "API: latency, ms, the slowest in twenty", stat = "p95", metrics = [concat(["AWS/ApiGateway", "Latency"], local.stage)] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [{ type = "alarm", x = 0, y = 0, width = 24, height = 4, properties = { title = "Alarms", alarms = var.alarm_arns } }],
      [for index, graph in local.graphs : {
        type   = "metric"
        x      = 8 * (index % 3)
        y      = 4 + 6 * floor(index / 3)
        width  = 8
        height = 6
        properties = {
          title   = graph.title
          region  = var.region
          stat    = graph.stat
          period  = 300
          view    = "timeSeries"
          metrics = graph.metrics
        }
      }]
    )
  })
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = { for key, query in var.queries : key => query if var.saved_queries }

  name         = "${var.name}/${each.key}"
  query_string = each.value.query
  log_group_names = [for key, function in var.functions : "/aws/lambda/${function.name}"
  if can(tolist(each.value.logs)) ? contains(each.value.logs, key) : true]
}

# Of what the sweep says in its log once a minute.
resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = var.metrics

  name           = "${var.name}-${each.key}"
  log_group_name = "/aws/lambda/${var.functions[each.value.function].name}"
  pattern        = "{ ${each.value.value} = * }"

  metric_transformation {
    namespace = each.value.namespace
    name      = each.value.name
    value     = each.value.value
  }
}

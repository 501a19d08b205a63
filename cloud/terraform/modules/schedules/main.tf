resource "aws_cloudwatch_event_rule" "this" {
  for_each = var.schedules

  name                = each.value.name
  description         = each.value.description
  schedule_expression = each.value.expression
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = var.schedules

  rule      = aws_cloudwatch_event_rule.this[each.key].name
  target_id = "function"
  arn       = var.functions[each.value.function].arn
}

resource "aws_lambda_permission" "this" {
  for_each = var.schedules

  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = var.functions[each.value.function].name
  qualifier     = var.functions[each.value.function].alias
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this[each.key].arn
}

output "topic_arn" {
  description = "Where alarms go; known only when the topic takes them."
  value       = aws_sns_topic.alarms.arn
  depends_on  = [aws_sns_topic_policy.alarms]
}

output "names" {
  description = "All alarms."
  value       = sort([for alarm in concat(values(aws_cloudwatch_metric_alarm.simple), values(aws_cloudwatch_metric_alarm.computed)) : alarm.alarm_name])
}

output "arns" {
  description = "All alarms' ARNs."
  value       = sort([for alarm in concat(values(aws_cloudwatch_metric_alarm.simple), values(aws_cloudwatch_metric_alarm.computed)) : alarm.arn])
}

output "dashboard" {
  description = "The dashboard's name; null where there is none."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}

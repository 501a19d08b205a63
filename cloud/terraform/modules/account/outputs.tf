output "ready" {
  description = "Known when API Gateway may log: a stage with an access log needs it."
  value       = aws_api_gateway_account.this.cloudwatch_role_arn
}

output "url" {
  description = "Where the API answers on AWS."
  value       = aws_api_gateway_stage.this.invoke_url
}

output "name" {
  description = "The name it has in AWS."
  value       = aws_api_gateway_rest_api.this.name
}

output "usage_plan_id" {
  description = "What a reader's key is joined to."
  value       = aws_api_gateway_usage_plan.readers.id
}

output "arn" {
  description = "By which it is called: its alias."
  value       = aws_lambda_alias.live.arn
}

output "alias" {
  description = "What a permission to call it is for."
  value       = aws_lambda_alias.live.name
}

output "name" {
  description = "The name it has in AWS."
  value       = aws_lambda_function.this.function_name
}

output "function_name" {
  description = "The compactor's function."
  value       = aws_lambda_function.this.function_name
}

output "user_pool_arn" {
  description = "The pool's ARN."
  value       = aws_cognito_user_pool.this.arn
}

output "user_pool_id" {
  description = "The pool's id."
  value       = aws_cognito_user_pool.this.id
}

output "domain" {
  description = "The first label of the host of its pages and its token endpoint."
  value       = aws_cognito_user_pool_domain.this.domain
}

output "client_ids" {
  description = "By key."
  value       = { for key, client in aws_cognito_user_pool_client.this : key => client.id }
}

output "arn" {
  description = "Known only when the role may do all that it is for."
  value       = aws_iam_role.this.arn
  depends_on  = [aws_iam_role_policy.this]
}

output "name" {
  description = "The name it has in AWS."
  value       = aws_iam_role.this.name
}

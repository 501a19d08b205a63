output "names" {
  description = "The names of the tables, by key."
  value       = { for key, table in aws_dynamodb_table.this : key => table.name }
}

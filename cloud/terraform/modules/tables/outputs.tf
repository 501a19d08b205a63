output "stream_arns" {
  description = "The streams of the tables that have one, by key."
  value       = { for key, table in aws_dynamodb_table.this : key => table.stream_arn if var.tables[key].stream != null }
}

output "names" {
  description = "The names of the tables, by key."
  value       = { for key, table in aws_dynamodb_table.this : key => table.name }
}

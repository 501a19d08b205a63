output "arns" {
  description = "By key."
  value       = { for key, queue in local.made : key => queue.arn }
}

output "urls" {
  description = "By key."
  value       = { for key, queue in local.made : key => queue.url }
}

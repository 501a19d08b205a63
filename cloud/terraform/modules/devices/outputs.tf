output "thing_type" {
  description = "The type of every station's thing."
  value       = aws_iot_thing_type.station.name
}

output "claim_policies" {
  description = "The policy of each template's claim certificate."
  value       = { for key, policy in aws_iot_policy.claim : key => policy.name }
}

output "templates" {
  description = "The templates' names, by key."
  value       = { for key, template in aws_iot_provisioning_template.this : key => template.name }
}

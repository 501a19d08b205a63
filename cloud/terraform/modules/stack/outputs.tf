output "names" {
  description = "names.yaml."
  value       = local.names
}

output "tables" {
  description = "tables.yaml."
  value       = yamldecode(local.text["tables.yaml"])
}

output "buckets" {
  description = "buckets.yaml."
  value       = yamldecode(local.text["buckets.yaml"])
}

output "queues" {
  description = "queues.yaml."
  value       = yamldecode(local.text["queues.yaml"])
}

output "functions" {
  description = "functions.yaml: the functions themselves."
  value       = local.functions.functions
}

output "code" {
  description = "functions.yaml: what all functions share."
  value = {
    runtime        = local.functions.runtime
    architecture   = local.functions.architecture
    package_target = local.functions.package_target
  }
}

output "roles" {
  description = "roles/*.json, by the name of the file."
  value       = local.roles
}

output "rules" {
  description = "rules.yaml, each rule with its SQL."
  value = { for name, rule in yamldecode(local.text["rules.yaml"]) : name =>
  merge(rule, { sql = trimspace(local.text[rule.sql_file]) }) }
}

output "schedules" {
  description = "schedules.yaml."
  value       = yamldecode(local.text["schedules.yaml"])
}

output "identity" {
  description = "identity.yaml."
  value       = yamldecode(local.text["identity.yaml"])
}

output "station_policies" {
  description = "The AWS IoT policies of every station, by their keys in things.yaml: name, and document as text."
  value = { for key, policy in yamldecode(local.text["things.yaml"]).policies : key => {
    name     = policy.name
    document = jsonencode(jsondecode(local.text[policy.file]))
  } }
}

output "thing_type" {
  description = "The thing type of every station."
  value       = yamldecode(local.text["things.yaml"]).thing_type
}

output "greengrass_policy" {
  description = "What the nucleus of a Greengrass core may do beside its station, as text."
  value       = jsonencode(jsondecode(local.text["policies/greengrass.json"]))
}

output "provisioning" {
  description = "provisioning.yaml, each template with its body and the claim's policy as text."
  value = { for key, template in yamldecode(local.text["provisioning.yaml"]) : key => merge(template, {
    body         = jsonencode(jsondecode(local.text[template.template_file]))
    claim_policy = jsonencode(jsondecode(local.text[template.claim.policy_file]))
  }) }
}

output "tracing_policy" {
  description = "What a traced function may do beside its role, as text."
  value       = jsonencode(jsondecode(local.text["grants/tracing.json"]))
}

output "openapi" {
  description = "openapi.yaml."
  value       = yamldecode(local.text["openapi.yaml"])
}

output "live" {
  description = "live.yaml."
  value       = yamldecode(local.text["live.yaml"])
}

output "alarms" {
  description = "alarms.yaml."
  value       = yamldecode(local.text["alarms.yaml"])
}

output "queries" {
  description = "queries.yaml."
  value       = yamldecode(local.text["queries.yaml"])
}

output "metrics" {
  description = "metrics.yaml."
  value       = yamldecode(local.text["metrics.yaml"])
}

# What only AWS has of the history: the compactor's function, and Athena.
locals {
  analytics  = yamldecode(local.text["analytics.yaml"])
  compaction = yamldecode(local.text["compaction.yaml"])
}

output "analytics" {
  description = "analytics.yaml, each view with its SQL."
  value = merge(local.analytics, {
    views = { for key, view in local.analytics.views : key => merge(view, { sql = trimspace(local.text[view.sql_file]) }) }
  })
}

output "compaction" {
  description = "compaction.yaml, with the function's role."
  value       = merge(local.compaction, { role = jsondecode(local.text[local.compaction.function.role_file]) })
}

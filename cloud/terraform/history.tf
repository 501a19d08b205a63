# The history: who makes Parquet of it, and who may ask it in SQL.
variable "compactor_package" {
  description = "The compactor's zip, which `evswap-cloud package --compactor` builds; null is no compactor, and the raw archive grows."
  type        = string
  default     = null
}

module "compaction" {
  source = "./modules/compaction"
  count  = var.compactor_package == null ? 0 : 1

  compaction = module.stack.compaction
  code       = module.stack.code
  package    = var.compactor_package

  alarm_topic_arn = module.alarms.topic_arn
}

module "analytics" {
  source = "./modules/analytics"

  analytics    = module.stack.analytics
  protect_data = var.protect_data
}

output "athena_workgroup" {
  description = "Where to ask the history: aws athena start-query-execution --work-group NAME"
  value       = module.analytics.workgroup
}

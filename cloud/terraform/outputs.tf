output "api_url" {
  description = "The REST API: curl $(terraform output -raw api_url)/stations"
  value       = module.api.url
}

output "live_url" {
  description = "Live updates over a WebSocket (docs/live.md): wscat -c \"$(terraform output -raw live_url)?ticket=...\""
  value       = module.live.url
}

output "api_usage_plan_id" {
  description = "What an API key is joined to, where api_key_required is true."
  value       = module.api.usage_plan_id
}

output "user_pool_id" {
  description = "Who may command: people are put in by aws cognito-idp admin-create-user."
  value       = module.identity.user_pool_id
}

output "token_endpoint" {
  description = "Where machines get their tokens."
  value       = "https://${module.identity.domain}.auth.${var.region}.amazoncognito.com/oauth2/token"
}

output "client_ids" {
  description = "The clients of people and of machines; aws cognito-idp describe-user-pool-client shows a machine's secret."
  value       = module.identity.client_ids
}

output "archive_bucket" {
  description = "What stations sent, as it came."
  value       = module.buckets.names["archive"]
}

output "compacted_bucket" {
  description = "Compacted history."
  value       = module.buckets.names["compacted"]
}

output "stations_table" {
  description = "The latest state of each station."
  value       = module.tables.names["stations"]
}

output "claim_policy" {
  description = "The policy that a claim certificate is given."
  value       = module.devices.claim_policies["station"]
}

output "provisioning_template" {
  description = "The template that a new station asks for."
  value       = module.devices.templates["station"]
}

output "alarms" {
  description = "Every alarm."
  value       = module.alarms.names
}

output "alarm_topic_arn" {
  description = "Where alarms go."
  value       = module.alarms.topic_arn
}

output "dashboard" {
  description = "The dashboard in CloudWatch; null where there is none."
  value       = module.monitoring.dashboard
}

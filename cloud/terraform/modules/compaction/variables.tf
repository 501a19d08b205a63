variable "compaction" {
  description = "compaction.yaml, with the function's role."
  type = object({
    function = object({
      name                 = string
      description          = string
      handler              = string
      memory_mb            = number
      disk_mb              = number
      timeout_s            = number
      reserved_concurrency = number
      log_retention_days   = number
      log_level            = string
      environment          = map(string)
    })
    schedule = object({ name = string, description = string, expression = string })
    role     = any
  })
}

variable "code" {
  description = "What all functions share."
  type        = object({ runtime = string, architecture = string })
}

variable "package" {
  description = "The zip."
  type        = string
}

variable "alarm_topic_arn" {
  description = "Where its alarms go."
  type        = string
}

variable "function" {
  description = "One of functions.yaml's functions."
  type = object({
    name                 = string
    description          = string
    handler              = string
    memory_mb            = number
    timeout_s            = number
    reserved_concurrency = number
    log_retention_days   = number
    log_level            = string
    environment          = map(string)
    traced               = optional(bool, false)
    event_source = optional(object({
      queue                      = string
      batch_size                 = number
      window_s                   = number
      maximum_concurrency        = number
      report_batch_item_failures = bool
    }))
    asynchronous = optional(object({
      maximum_event_age_s = number
      maximum_retries     = number
      on_failure_queue    = string
    }))
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

variable "role" {
  description = "The role that the function runs in: its ARN and its name."
  type        = object({ arn = string, name = string })
}

variable "queue_arns" {
  description = "The queues' ARNs, by key."
  type        = map(string)
}

variable "tracing" {
  description = "Whether a function that is traced at all is traced here."
  type        = bool
}

variable "tracing_policy" {
  description = "What it may do then, beside its role."
  type        = string
}

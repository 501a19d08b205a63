variable "prefix" {
  description = "Begins the alarms' names."
  type        = string
}

variable "account_id" {
  description = "Only this account's alarms and budgets may use the topic."
  type        = string
}

variable "alarms" {
  description = "alarms.yaml."
  type = map(object({
    description  = string
    watches      = string
    only         = optional(list(string))
    period_s     = number
    periods      = number
    comparison   = string
    threshold    = number
    missing_data = string
    expression   = optional(string)
    metrics      = map(object({ namespace = string, name = string, statistic = string, dimensions = optional(map(string), {}) }))
  }))
}

variable "subjects" {
  description = "What an alarm can watch: a kind, then a key, then the dimensions that name it to CloudWatch."
  type        = map(map(map(string)))
}

variable "emails" {
  description = "Who is written to."
  type        = set(string)
}

variable "endpoints" {
  description = "What else is told: a protocol of SNS and its endpoint."
  type        = set(object({ protocol = string, endpoint = string }))
}

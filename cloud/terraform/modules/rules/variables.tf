variable "rules" {
  description = "rules.yaml, with the SQL."
  type = map(object({
    description = string
    sql         = string
    sql_version = string
    queue       = optional(string)
    function    = optional(string)
    error_queue = string
    role        = string
  }))
}

variable "queue_urls" {
  description = "By key."
  type        = map(string)
}

variable "role_arns" {
  description = "By key."
  type        = map(string)
}

variable "functions" {
  description = "The functions' names, aliases and the aliases' ARNs, by key."
  type        = map(object({ name = string, alias = string, arn = string }))
}

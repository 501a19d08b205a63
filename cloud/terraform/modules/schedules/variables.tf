variable "schedules" {
  description = "schedules.yaml."
  type = map(object({
    name        = string
    description = string
    expression  = string
    function    = string
  }))
}

variable "functions" {
  description = "The functions' names, aliases and the aliases' ARNs, by key."
  type        = map(object({ name = string, alias = string, arn = string }))
}

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
  description = "The functions' names and ARNs, by key."
  type        = map(object({ name = string, arn = string }))
}

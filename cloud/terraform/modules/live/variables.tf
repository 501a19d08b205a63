variable "live" {
  description = "live.yaml. Of any type: what it may hold is checked where it lies (tests/cloud)."
  type        = any
}

variable "region" {
  description = "The AWS region, which a function's address at API Gateway has in it."
  type        = string
}

variable "functions" {
  description = "The functions' names, aliases and the aliases' ARNs, by key."
  type        = map(object({ name = string, alias = string, arn = string }))
}

variable "stream_arns" {
  description = "The streams of the tables that have one, by key."
  type        = map(string)
}

variable "log_retention_days" {
  description = "How long the access log is kept."
  type        = number
}

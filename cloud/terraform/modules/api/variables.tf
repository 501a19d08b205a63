variable "document" {
  description = "openapi.yaml. Of any type: what it may hold is checked where it lies (tests/cloud)."
  type        = any
}

variable "stage" {
  description = "The stage's name, the first part of every path."
  type        = string
}

variable "functions" {
  description = "The functions, of which openapi.yaml names some: their names, aliases and the aliases' ARNs, by key."
  type        = map(object({ name = string, alias = string, arn = string }))
}

variable "authoriser" {
  description = "What verifies the tokens of the methods that openapi.yaml secures."
  type        = object({ name = string, user_pool_arn = string })
}

variable "api_key_required" {
  description = "Whether methods other than OPTIONS need an API key."
  type        = bool
}

variable "rate_limit" {
  description = "Requests a second, in all."
  type        = number
}

variable "burst_limit" {
  description = "Requests at once."
  type        = number
}

variable "tracing" {
  description = "X-Ray."
  type        = bool
}

variable "tracing_share" {
  description = "The share of requests that X-Ray records where it is on."
  type        = number
}

variable "log_retention_days" {
  description = "How long access logs are kept."
  type        = number
}

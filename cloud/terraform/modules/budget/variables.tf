variable "name" {
  description = "The budget's name."
  type        = string
}

variable "monthly_usd" {
  description = "The limit, in US dollars a month, of the whole account."
  type        = number
}

variable "topic_arn" {
  description = "Who is told."
  type        = string
}

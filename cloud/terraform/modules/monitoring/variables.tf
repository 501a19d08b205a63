variable "name" {
  description = "The dashboard's name, and the folder of the saved queries."
  type        = string
}

variable "region" {
  description = "Where the metrics are."
  type        = string
}

variable "functions" {
  description = "functions.yaml's functions."
  type        = any
}

variable "queues" {
  description = "queues.yaml."
  type        = any
}

variable "tables" {
  description = "tables.yaml."
  type        = any
}

variable "rules" {
  description = "rules.yaml."
  type        = any
}

variable "queries" {
  description = "queries.yaml."
  type        = any
}

variable "api_name" {
  description = "The REST API's name."
  type        = string
}

variable "stage" {
  description = "The API's stage."
  type        = string
}

variable "alarm_arns" {
  description = "Every alarm."
  type        = list(string)
}

variable "saved_queries" {
  description = "False where AWS is an emulator that cannot save queries."
  type        = bool
}

variable "metrics" {
  description = "metrics.yaml."
  type        = map(object({ function = string, namespace = string, name = string, value = string }))
}

variable "dashboard" {
  description = "Whether there is a dashboard."
  type        = bool
}

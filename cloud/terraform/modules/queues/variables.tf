variable "queues" {
  description = "queues.yaml."
  type = map(object({
    name                  = string
    visibility_timeout_s  = number
    message_retention_s   = number
    maximum_message_bytes = number
    receive_wait_s        = number
    encryption            = string
    dead_letter_queue     = optional(string)
    max_receive_count     = optional(number)
  }))
}

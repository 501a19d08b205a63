# Where this state's stack is, remembered from its first apply. In another region or account Terraform would find nothing of it, and
# plan a second one in silence.
resource "terraform_data" "home" {
  input = "account ${var.account_id}, region ${var.region}"

  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "at_home" {
  lifecycle {
    precondition {
      condition     = terraform_data.home.output == "account ${var.account_id}, region ${var.region}"
      error_message = "The stack of this state is at home in ${terraform_data.home.output}, and stays there. Give that account and region, or work with a state of its own (docs/aws.md)."
    }
  }
}

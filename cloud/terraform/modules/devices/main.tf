# What stations are to AWS IoT. The stations themselves, and every certificate, the claim's too, are made outside
# Terraform: a private key would stand in the state.
resource "aws_iot_thing_type" "station" {
  name = var.thing_type
}

resource "aws_iot_policy" "station" {
  for_each = var.station_policies

  name   = each.value.name
  policy = each.value.document
}

moved {
  from = aws_iot_policy.station
  to   = aws_iot_policy.station["station"]
}

resource "aws_iot_policy" "greengrass" {
  name   = "${var.prefix}-greengrass"
  policy = var.greengrass_policy
}

resource "aws_iot_policy" "claim" {
  for_each = var.templates

  name   = each.value.claim.policy_name
  policy = each.value.claim_policy
}

resource "aws_iot_provisioning_template" "this" {
  for_each = var.templates

  name                  = each.value.name
  description           = each.value.description
  type                  = each.value.type
  enabled               = each.value.enabled
  provisioning_role_arn = var.role_arns[each.value.role]
  template_body         = each.value.body

  pre_provisioning_hook {
    payload_version = each.value.pre_provisioning_hook.payload_version
    target_arn      = var.functions[each.value.pre_provisioning_hook.function].arn
  }

  # AWS IoT looks whether it may invoke the hook when the template is made.
  depends_on = [aws_iot_policy.station, aws_iot_thing_type.station, aws_lambda_permission.hook]
}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

resource "aws_lambda_permission" "hook" {
  for_each = var.templates

  statement_id  = "provisioning"
  action        = "lambda:InvokeFunction"
  function_name = var.functions[each.value.pre_provisioning_hook.function].name
  qualifier     = var.functions[each.value.pre_provisioning_hook.function].alias
  principal     = "iot.amazonaws.com"
  source_arn    = "arn:aws:iot:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:provisioningtemplate/${each.value.name}"
}

# One IAM role with one inline policy: who may take it and what it may do stand in one file of cloud/stack/roles.
resource "aws_iam_role" "this" {
  name               = var.role.name
  description        = var.role.description
  assume_role_policy = jsonencode(var.role.trust)
}

resource "aws_iam_role_policy" "this" {
  name   = "evswap"
  role   = aws_iam_role.this.id
  policy = jsonencode(var.role.policy)
}

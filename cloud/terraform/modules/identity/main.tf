# Who may command. A client's secret stands in the state, encrypted there like all of it: whoever reads the state can issue commands.
resource "aws_cognito_user_pool" "this" {
  name                = var.identity.user_pool.name
  mfa_configuration   = var.identity.user_pool.mfa
  deletion_protection = var.identity.user_pool.deletion_protection && var.protect_data ? "ACTIVE" : "INACTIVE"

  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  password_policy {
    minimum_length                   = var.identity.user_pool.password_minimum_length
    require_lowercase                = false
    require_numbers                  = false
    require_symbols                  = false
    require_uppercase                = false
    temporary_password_validity_days = 7
  }

  software_token_mfa_configuration {
    enabled = true
  }
}

resource "aws_cognito_user_pool_domain" "this" {
  domain       = var.identity.user_pool.domain
  user_pool_id = aws_cognito_user_pool.this.id
}

resource "aws_cognito_resource_server" "this" {
  identifier   = var.identity.resource_server.identifier
  name         = var.identity.resource_server.name
  user_pool_id = aws_cognito_user_pool.this.id

  dynamic "scope" {
    for_each = var.identity.resource_server.scopes

    content {
      scope_name        = scope.key
      scope_description = scope.value
    }
  }
}

resource "aws_cognito_user_pool_client" "this" {
  for_each = var.identity.clients

  name                                 = each.value.name
  user_pool_id                         = aws_cognito_user_pool.this.id
  generate_secret                      = each.value.secret
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = [each.value.flow]
  allowed_oauth_scopes                 = each.value.scopes
  callback_urls                        = each.value.callback_urls
  supported_identity_providers         = ["COGNITO"]
  explicit_auth_flows                  = ["ALLOW_REFRESH_TOKEN_AUTH"]
  prevent_user_existence_errors        = "ENABLED"
  access_token_validity                = each.value.access_token_minutes
  refresh_token_validity               = each.value.refresh_token_days

  token_validity_units {
    access_token  = "minutes"
    refresh_token = "days"
  }

  depends_on = [aws_cognito_resource_server.this]
}

locals {
  locked = { for key, bucket in var.buckets : key => bucket if bucket.object_lock && var.object_lock_days > 0 }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_6:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it
  #checkov:skip=CKV2_AWS_62:nobody waits for an object: what is archived came by the functions
  #checkov:skip=CKV_AWS_144:one region; versions and the lock keep what is there
  #checkov:skip=CKV_AWS_145:AWS's own keys encrypt it (the table of encryption in docs/aws.md): a key of ours costs by the request
  #checkov:skip=CKV_AWS_18:only roles of this stack read it, which CloudTrail knows
  #checkov:skip=CKV_AWS_19:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it
  #checkov:skip=CKV_AWS_21:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = var.buckets

  bucket              = each.value.name
  force_destroy       = !var.protect_data
  object_lock_enabled = contains(keys(local.locked), each.key)
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = each.value.versioning ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  #checkov:skip=CKV2_AWS_65:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = each.value.object_ownership
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  #checkov:skip=CKV_AWS_53:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it
  #checkov:skip=CKV_AWS_54:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it
  #checkov:skip=CKV_AWS_55:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it
  #checkov:skip=CKV_AWS_56:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = var.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = each.value.public_access_block.block_public_acls
  ignore_public_acls      = each.value.public_access_block.ignore_public_acls
  block_public_policy     = each.value.public_access_block.block_public_policy
  restrict_public_buckets = each.value.public_access_block.restrict_public_buckets
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = each.value.encryption
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:checkov does not follow for_each over cloud/stack: tests/terraform/test_configuration.py holds the plan to it

  for_each = var.buckets

  bucket = aws_s3_bucket.this[each.key].id

  dynamic "rule" {
    for_each = each.value.lifecycle

    content {
      id     = rule.value.id
      status = "Enabled"

      filter {
        prefix                   = rule.value.minimum_bytes == null ? rule.value.prefix : null
        object_size_greater_than = null

        dynamic "and" {
          for_each = rule.value.minimum_bytes == null ? [] : [rule.value]

          content {
            prefix                   = and.value.prefix
            object_size_greater_than = and.value.minimum_bytes - 1
          }
        }
      }

      dynamic "transition" {
        for_each = rule.value.transition_days == null ? [] : [rule.value]

        content {
          days          = transition.value.transition_days
          storage_class = transition.value.storage_class
        }
      }

      dynamic "expiration" {
        for_each = rule.value.expiration_days == null ? [] : [rule.value]

        content {
          days = expiration.value.expiration_days
        }
      }

      dynamic "noncurrent_version_expiration" {
        for_each = rule.value.noncurrent_expiration_days == null ? [] : [rule.value]

        content {
          noncurrent_days = noncurrent_version_expiration.value.noncurrent_expiration_days
        }
      }

      dynamic "abort_incomplete_multipart_upload" {
        for_each = rule.value.abort_incomplete_upload_days == null ? [] : [rule.value]

        content {
          days_after_initiation = abort_incomplete_multipart_upload.value.abort_incomplete_upload_days
        }
      }
    }
  }

  # A rule about non-current versions means something only where there are versions.
  depends_on = [aws_s3_bucket_versioning.this]
}

data "aws_iam_policy_document" "tls_only" {
  for_each = { for key, bucket in var.buckets : key => bucket if bucket.tls_only && var.tls_only }

  statement {
    sid       = "RefusePlainText"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = ["arn:aws:s3:::${each.value.name}", "arn:aws:s3:::${each.value.name}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "tls_only" {
  for_each = data.aws_iam_policy_document.tls_only

  bucket = aws_s3_bucket.this[each.key].id
  policy = each.value.json

  # S3 does not take two changes of a bucket's access at once.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  for_each = local.locked

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.object_lock_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

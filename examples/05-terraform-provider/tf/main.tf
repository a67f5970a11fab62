# What the provider can do. `terraform plan` needs a variable: the directory to write to.

terraform {
  required_providers {
    files = { source = "registry.terraform.io/plugwire/files" }
  }
}

variable "root" { type = string }
variable "title" { default = "Notes" }
variable "password" {
  default   = "hunter2"
  sensitive = true
}

provider "files" {
  root = var.root
}

resource "files_document" "notes" {
  path   = "notes.json"
  title  = var.title
  author = { name = "Ada", mail = "ada@example.org" } # nested attributes; the mail is sensitive
  limits = { bytes = 12345678901234567890, atoms = 123456789012345678901234567890 }
  labels = ["b", "a", "b"] # a set
  extra  = { any = ["value", 0.1, true], deep = { er = null } }

  section {
    heading = "Numbers & letters"
    weight  = 0.1
    link { url = "https://example.org/numbers" }
    link {
      url  = "https://example.org/letters"
      text = "Letters"
    }
  }
  section { heading = "More" }
}

resource "files_text" "index" {
  path    = "index.txt"
  content = "${files_document.notes.id} is ${var.title}\n" # known after apply
  mode    = "0600"
}

resource "files_text" "secret" {
  path              = "secret.txt"
  sensitive_content = var.password
}

data "files_listing" "texts" {
  suffix     = ".txt"
  depends_on = [files_text.index, files_text.secret]
}

output "limits" { value = files_document.notes.limits }
output "anchors" { value = files_document.notes.section[*].anchor }
output "texts" { value = data.files_listing.texts.files[*].path }

# Decided in the plan, although the content is not known yet: the provider says how the digest will begin.
output "hashed" { value = startswith(files_text.index.digest, "sha256-") }

import COpenSSL

/// A key and a certificate that it has signed itself, made anew each time and held in memory alone.
// Invariant: both are counted by OpenSSL, and not changed once they are made.
public final class TLSIdentity: @unchecked Sendable {
  public let key: OpaquePointer
  public let certificate: OpaquePointer

  /// - Parameters:
  ///   - name: the host that it is for.
  ///   - others: more of them, which make the certificate larger.
  public init(name: String, others: Int = 0) {
    guard let key = ctls_make_key(), let certificate = X509_new() else {
      preconditionFailure("OpenSSL makes keys and certificates")
    }
    self.key = key
    self.certificate = certificate
    X509_set_version(certificate, 2)
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1)
    ctls_set_validity(certificate, 3600)
    X509_set_pubkey(certificate, key)
    let subject = X509_get_subject_name(certificate)
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_FLAG | 1, name, -1, -1, 0)
    X509_set_issuer_name(certificate, subject)
    let names = ["DNS:\(name)"] + (0..<others).map { "DNS:host-\($0).example" }
    if let extensions = X509V3_EXT_conf_nid(nil, nil, NID_subject_alt_name, names.joined(separator: ",")) {
      X509_add_ext(certificate, extensions, -1)
      X509_EXTENSION_free(extensions)
    }
    precondition(X509_sign(certificate, key, EVP_sha256()) > 0, "a certificate can be signed")
  }

  deinit {
    X509_free(certificate)
    EVP_PKEY_free(key)
  }
}

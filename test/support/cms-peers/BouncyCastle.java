/*
 * BouncyCastle as a peer for CMS. One process answers many requests: a line each on standard input,
 * fields parted by tabs, and a line for each on standard output, "ok" or "error" and why. Files
 * hold messages and content; keys and certificates are PEM.
 *
 *   encrypt  FORM RECIPIENT CIPHER CERTIFICATE CONTENT MESSAGE
 *   decrypt  KEY CERTIFICATE MESSAGE CONTENT
 *   sign     FORM KEY CERTIFICATE CONTENT MESSAGE
 *   verify   MESSAGE CONTENT CERTIFICATE     CONTENT is read of a detached signature, else written
 */
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.AlgorithmParameters;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Map;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.cms.Time;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;

public final class BouncyCastle {
  private static final Map<String, ASN1ObjectIdentifier> CIPHERS =
      Map.of(
          "aes-128-cbc", CMSAlgorithm.AES128_CBC,
          "aes-256-cbc", CMSAlgorithm.AES256_CBC,
          "3des-cbc", CMSAlgorithm.DES_EDE3_CBC,
          "aes-128-gcm", CMSAlgorithm.AES128_GCM,
          "aes-256-gcm", CMSAlgorithm.AES256_GCM);

  private static final Map<String, ASN1ObjectIdentifier> AGREEMENTS =
      Map.of(
          "ecdh-sha1", CMSAlgorithm.ECDH_SHA1KDF,
          "ecdh-sha256", CMSAlgorithm.ECDH_SHA256KDF,
          "ecdh-sha384", CMSAlgorithm.ECDH_SHA384KDF,
          "ecdh-sha512", CMSAlgorithm.ECDH_SHA512KDF,
          "cofactor-sha256", CMSAlgorithm.ECCDH_SHA256KDF,
          "x25519", CMSAlgorithm.ECDH_HKDF_SHA256);

  public static void main(String[] none) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line; (line = requests.readLine()) != null; ) {
      try {
        answers.println("ok\t" + answer(line.split("\t", -1)));
      } catch (Exception | LinkageError error) {
        answers.println("error\t" + error.toString().replaceAll("\\s+", " "));
      }
    }
  }

  private static String answer(String[] of) throws Exception {
    switch (of[0]) {
      case "encrypt":
        write(of[6], encrypt(of[1], recipient(of[2], certificate(of[4])), of[3], read(of[5])));
        return "";
      case "decrypt":
        write(of[4], decrypt(key(of[1]), certificate(of[2]), read(of[3])));
        return "";
      case "sign":
        write(of[5], sign(of[1].equals("opaque"), key(of[2]), certificate(of[3]), read(of[4])));
        return "";
      case "verify":
        return verify(read(of[1]), of[2], certificate(of[3]));
      default:
        throw new IllegalArgumentException(of[0]);
    }
  }

  /** FORM: enveloped, auth-enveloped, auth-enveloped-attributes. */
  private static byte[] encrypt(
      String form, RecipientInfoGenerator recipient, String cipher, byte[] content)
      throws Exception {
    CMSTypedData typed = new CMSProcessableByteArray(content);
    OutputEncryptor encryptor =
        new JceCMSContentEncryptorBuilder(CIPHERS.get(cipher)).setProvider("BC").build();
    if (form.equals("enveloped")) {
      CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
      generator.addRecipientInfoGenerator(recipient);
      return generator.generate(typed, encryptor).getEncoded();
    }
    CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
    generator.addRecipientInfoGenerator(recipient);
    if (form.equals("auth-enveloped-attributes")) {
      ASN1EncodableVector attributes = new ASN1EncodableVector();
      attributes.add(
          new Attribute(CMSAttributes.signingTime, new DERSet(new Time(new Date()))));
      generator.setAuthenticatedAttributeGenerator(
          new SimpleAttributeTableGenerator(new AttributeTable(attributes)));
    }
    return generator.generate(typed, (OutputAEADEncryptor) encryptor).getEncoded();
  }

  /**
   * RECIPIENT: rsa-pkcs1, rsa-oaep-HASH, or AGREEMENT[+ukm][+explicit], the latter for an
   * originator's key whose curve is written out.
   */
  private static RecipientInfoGenerator recipient(String kind, X509Certificate certificate)
      throws Exception {
    if (kind.equals("rsa-pkcs1")) {
      return new JceKeyTransRecipientInfoGenerator(certificate).setProvider("BC");
    }
    if (kind.startsWith("rsa-oaep-")) {
      String hash = kind.substring(9).toUpperCase().replace("SHA", "SHA-");
      OAEPParameterSpec oaep =
          new OAEPParameterSpec(
              hash, "MGF1", new MGF1ParameterSpec(hash), PSource.PSpecified.DEFAULT);
      AlgorithmIdentifier identifier =
          new JcaAlgorithmParametersConverter()
              .getAlgorithmIdentifier(PKCSObjectIdentifiers.id_RSAES_OAEP, oaep);
      return new JceKeyTransRecipientInfoGenerator(certificate, identifier).setProvider("BC");
    }
    if (kind.equals("ml-kem")) {
      return new JceKEMRecipientInfoGenerator(certificate, CMSAlgorithm.AES256_WRAP)
          .setKDF(CMSAlgorithm.SHA256_HKDF)
          .setProvider("BC");
    }
    List<String> parts = List.of(kind.split("\\+"));
    KeyPair pair = ephemeral(parts.get(0), parts.contains("explicit"), certificate);
    JceKeyAgreeRecipientInfoGenerator generator =
        new JceKeyAgreeRecipientInfoGenerator(
            AGREEMENTS.get(parts.get(0)),
            pair.getPrivate(),
            pair.getPublic(),
            CMSAlgorithm.AES256_WRAP);
    if (parts.contains("ukm")) {
      generator.setUserKeyingMaterial("user keying material".getBytes(StandardCharsets.UTF_8));
    }
    return generator.addRecipient(certificate).setProvider("BC");
  }

  private static KeyPair ephemeral(String agreement, boolean explicit, X509Certificate certificate)
      throws Exception {
    if (agreement.equals("x25519")) {
      return KeyPairGenerator.getInstance("X25519", "BC").generateKeyPair();
    }
    ECParameterSpec curve = ((ECPublicKey) certificate.getPublicKey()).getParams();
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
    if (explicit) {
      // As it comes out when a program takes the parameters from a certificate that Java's own
      // provider parsed: BouncyCastle no longer knows the curve by its name.
      generator.initialize(
          new ECParameterSpec(
              curve.getCurve(), curve.getGenerator(), curve.getOrder(), curve.getCofactor()));
    } else {
      generator.initialize(new ECGenParameterSpec("P-" + curve.getOrder().bitLength()));
    }
    return generator.generateKeyPair();
  }

  private static byte[] decrypt(PrivateKey key, X509Certificate certificate, byte[] message)
      throws Exception {
    boolean authenticated = isAuthEnveloped(message);
    RecipientInformationStore store =
        authenticated
            ? new CMSAuthEnvelopedData(message).getRecipientInfos()
            : new CMSEnvelopedData(message).getRecipientInfos();
    RecipientInformation recipient = null;
    for (RecipientInformation one : store.getRecipients()) {
      if (one.getRID().match(certificateHolder(certificate))) recipient = one;
    }
    if (recipient == null) throw new IllegalArgumentException("no recipient matches");
    return recipient.getContent(opener(recipient, key, authenticated));
  }

  private static Recipient opener(
      RecipientInformation recipient, PrivateKey key, boolean authenticated) {
    if (recipient instanceof KeyTransRecipientInformation) {
      return authenticated
          ? new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC")
          : new JceKeyTransEnvelopedRecipient(key).setProvider("BC");
    }
    if (recipient instanceof KeyAgreeRecipientInformation) {
      return authenticated
          ? new JceKeyAgreeAuthEnvelopedRecipient(key).setProvider("BC")
          : new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
    }
    return authenticated
        ? new JceKEMAuthEnvelopedRecipient(key).setProvider("BC")
        : new JceKEMEnvelopedRecipient(key).setProvider("BC");
  }

  private static boolean isAuthEnveloped(byte[] message) {
    ASN1ObjectIdentifier type = ContentInfo.getInstance(message).getContentType();
    return type.equals(CMSObjectIdentifiers.authEnvelopedData);
  }

  private static byte[] sign(
      boolean opaque, PrivateKey key, X509Certificate certificate, byte[] content)
      throws Exception {
    CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
    String algorithm =
        switch (key.getAlgorithm()) {
          case "RSA" -> "SHA256withRSAandMGF1";
          case "Ed25519", "EdDSA" -> "Ed25519";
          default -> "SHA256withECDSA";
        };
    generator.addSignerInfoGenerator(
        new JcaSignerInfoGeneratorBuilder(
                new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
            .build(
                new JcaContentSignerBuilder(algorithm).setProvider("BC").build(key), certificate));
    generator.addCertificates(new JcaCertStore(Collections.singleton(certificate)));
    return generator.generate(new CMSProcessableByteArray(content), opaque).getEncoded();
  }

  private static String verify(byte[] message, String contentFile, X509Certificate certificate)
      throws Exception {
    CMSSignedData signed = new CMSSignedData(message);
    if (signed.getSignedContent() == null) {
      signed = new CMSSignedData(new CMSProcessableByteArray(read(contentFile)), message);
    } else {
      write(contentFile, (byte[]) signed.getSignedContent().getContent());
    }
    int verified = 0;
    for (SignerInformation signer : signed.getSignerInfos()) {
      if (!signer.getSID().match(certificateHolder(certificate))) continue;
      if (!signer.verify(
          new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(certificate))) {
        throw new SecurityException("the signature is not genuine");
      }
      verified++;
    }
    if (verified == 0) throw new IllegalArgumentException("no signer matches");
    return String.valueOf(verified);
  }

  private static X509CertificateHolder certificateHolder(X509Certificate certificate)
      throws Exception {
    return new JcaX509CertificateHolder(certificate);
  }

  private static X509Certificate certificate(String file) throws Exception {
    InputStream bytes = new ByteArrayInputStream(read(file));
    return (X509Certificate) CertificateFactory.getInstance("X.509", "BC").generateCertificate(bytes);
  }

  private static PrivateKey key(String file) throws Exception {
    String pem = new String(read(file), StandardCharsets.UTF_8);
    byte[] bytes = Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]+-----", ""));
    ASN1ObjectIdentifier type =
        PrivateKeyInfo.getInstance(bytes).getPrivateKeyAlgorithm().getAlgorithm();
    return KeyFactory.getInstance(type.getId(), "BC").generatePrivate(new PKCS8EncodedKeySpec(bytes));
  }

  private static byte[] read(String file) throws Exception {
    return Files.readAllBytes(Path.of(file));
  }

  private static void write(String file, byte[] bytes) throws Exception {
    Files.write(Path.of(file), bytes);
  }
}

/*
 * .NET's classes for CMS, as Mono has them, as a peer. One process answers many requests: a line
 * each on standard input, fields parted by tabs, and a line for each on standard output, "ok" or
 * "error" and why. Certificates are DER; keys come with their certificates, as PKCS#12 without a
 * password.
 *
 *   encrypt  RECIPIENT CERTIFICATE CONTENT MESSAGE     RECIPIENT: issuer or ski
 *   decrypt  PKCS12 MESSAGE CONTENT
 *   sign     FORM PKCS12 CONTENT MESSAGE               FORM: opaque; detached; or bare, which is
 *                                                      opaque and has no signed attributes
 *   verify   MESSAGE CONTENT                           CONTENT is read of a detached signature
 */
using System;
using System.IO;
using System.Security.Cryptography;
using System.Security.Cryptography.Pkcs;
using System.Security.Cryptography.X509Certificates;

static class Peer
{
    static void Main()
    {
        string line;
        while ((line = Console.In.ReadLine()) != null)
        {
            try
            {
                Answer(line.Split('\t'));
                Console.Out.WriteLine("ok\t");
            }
            catch (Exception error)
            {
                string said = error.GetType().Name + ": " + error.Message;
                Console.Out.WriteLine("error\t" + said.Replace('\n', ' '));
            }
            Console.Out.Flush();
        }
    }

    static void Answer(string[] of)
    {
        switch (of[0])
        {
            case "encrypt":
                var type = of[1] == "ski"
                    ? SubjectIdentifierType.SubjectKeyIdentifier
                    : SubjectIdentifierType.IssuerAndSerialNumber;
                File.WriteAllBytes(of[4], Encrypt(type, new X509Certificate2(of[2]), Read(of[3])));
                break;
            case "decrypt":
                File.WriteAllBytes(of[3], Decrypt(new X509Certificate2(of[1], ""), Read(of[2])));
                break;
            case "sign":
                var signer = new CmsSigner(new X509Certificate2(of[2], ""));
                signer.IncludeOption = X509IncludeOption.EndCertOnly;
                signer.DigestAlgorithm = new Oid("2.16.840.1.101.3.4.2.1");
                // Without attributes it signs the content itself, as .NET does by default.
                if (of[1] != "bare") signer.SignedAttributes.Add(new Pkcs9SigningTime());
                File.WriteAllBytes(of[4], Sign(of[1] == "detached", signer, Read(of[3])));
                break;
            case "verify":
                Verify(Read(of[1]), of[2]);
                break;
            default:
                throw new ArgumentException(of[0]);
        }
    }

    static byte[] Encrypt(SubjectIdentifierType type, X509Certificate2 certificate, byte[] content)
    {
        // AES-256-CBC.
        var cipher = new AlgorithmIdentifier(new Oid("2.16.840.1.101.3.4.1.42"));
        var message = new EnvelopedCms(new ContentInfo(content), cipher);
        message.Encrypt(new CmsRecipient(type, certificate));
        return message.Encode();
    }

    static byte[] Decrypt(X509Certificate2 holder, byte[] bytes)
    {
        var message = new EnvelopedCms();
        message.Decode(bytes);
        message.Decrypt(new X509Certificate2Collection(holder));
        return message.ContentInfo.Content;
    }

    static byte[] Sign(bool detached, CmsSigner signer, byte[] content)
    {
        var message = new SignedCms(new ContentInfo(content), detached);
        message.ComputeSignature(signer);
        return message.Encode();
    }

    static void Verify(byte[] bytes, string contentFile)
    {
        bool detached = File.Exists(contentFile);
        var message = detached
            ? new SignedCms(new ContentInfo(Read(contentFile)), true)
            : new SignedCms();
        message.Decode(bytes);
        if (message.SignerInfos.Count == 0) throw new CryptographicException("not signed");
        message.CheckSignature(true);
        if (!detached) File.WriteAllBytes(contentFile, message.ContentInfo.Content);
    }

    static byte[] Read(string file)
    {
        return File.ReadAllBytes(file);
    }
}

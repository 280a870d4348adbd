// What a program without a store, a plan and a check needs for the same leaves: keys and certificates,
// made on all cores and written to files. Run by scale.py: go run leaves.go COUNT DIRECTORY
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func write(path, kind string, der []byte) {
	must(0, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func main() {
	count, directory := must(strconv.Atoi(os.Args[1])), os.Args[2]
	now := time.Now()
	caKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true,
		NotBefore: now, NotAfter: now.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true}
	ca = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey))))
	numbers := make(chan int, count)
	for number := range count {
		numbers <- number
	}
	close(numbers)
	var group sync.WaitGroup
	for range runtime.NumCPU() {
		group.Go(func() {
			for number := range numbers {
				name := fmt.Sprintf("node-%05d", number)
				key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
				leaf := &x509.Certificate{SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))),
					Subject:   pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}},
					NotBefore: now, NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
					ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
					DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(10, 0, byte(number>>8), byte(number))}}
				der := must(x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey))
				write(filepath.Join(directory, name+".crt"), "CERTIFICATE", der)
				write(filepath.Join(directory, name+".key"), "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
			}
		})
	}
	group.Wait()
}

// Command switchbind puts bare metal on the right network.
package main

func main() {}

from hra_cli.app import main

main()
